import type { Migration } from './migration.js';

/** The log of events, who has read how far, what waits for its time, and what could not be handled. */
export const log: Migration = {
  name: '0001-log',
  up: (schema) => [
    `CREATE TABLE ${schema}.channels (
      name text COLLATE "C" PRIMARY KEY,
      partitions smallint NOT NULL CHECK (partitions > 0),
      created_at timestamptz NOT NULL DEFAULT now()
    )`,

    // Read in the order of (xid, position): positions alone are given out before transactions commit, in any order. Within one
    // statement they ascend, so that each connection may take some in advance.
    `CREATE TABLE ${schema}.events (
      channel text COLLATE "C" NOT NULL,
      partition smallint NOT NULL,
      xid xid8 NOT NULL DEFAULT pg_current_xact_id(),
      position bigint GENERATED ALWAYS AS IDENTITY (CACHE 64),
      stored_at timestamptz NOT NULL DEFAULT now(),
      time bigint NOT NULL,
      id text NOT NULL,
      key text,
      headers json NOT NULL,
      body bytea NOT NULL,
      PRIMARY KEY (channel, partition, xid, position)
    )`,
    `CREATE INDEX events_by_time ON ${schema}.events USING brin (stored_at) WITH (autosummarize = on)`,

    // The number of the last batch of each process: a batch that is sent again is not stored again.
    `CREATE TABLE ${schema}.publishers (
      instance text COLLATE "C" PRIMARY KEY,
      batch bigint NOT NULL,
      updated_at timestamptz NOT NULL DEFAULT now()
    ) WITH (fillfactor = 50)`,

    `CREATE TABLE ${schema}.subscriptions (
      name text COLLATE "C" PRIMARY KEY,
      durable boolean NOT NULL,
      created_at timestamptz NOT NULL DEFAULT now()
    )`,

    // Everything before (xid, position) is settled, and the positions in \`done\` are. Whose it is: the owner, until it expires.
    // The generation is the fencing token: it grows with each owner.
    `CREATE TABLE ${schema}.positions (
      subscription text COLLATE "C" NOT NULL REFERENCES ${schema}.subscriptions ON DELETE CASCADE,
      channel text COLLATE "C" NOT NULL,
      partition smallint NOT NULL,
      xid xid8 NOT NULL,
      position bigint NOT NULL,
      done bigint[] NOT NULL DEFAULT '{}',
      attempt integer NOT NULL DEFAULT 1,
      owner text COLLATE "C",
      generation bigint NOT NULL DEFAULT 0,
      expires_at timestamptz,
      updated_at timestamptz NOT NULL DEFAULT now(),
      PRIMARY KEY (subscription, channel, partition)
    ) WITH (fillfactor = 50)`,

    `CREATE TABLE ${schema}.members (
      subscription text COLLATE "C" NOT NULL,
      member text COLLATE "C" NOT NULL,
      channels text[] NOT NULL,
      per_process boolean NOT NULL,
      expires_at timestamptz NOT NULL,
      PRIMARY KEY (subscription, member)
    ) WITH (fillfactor = 50)`,

    // Messages of one subscription alone: deferred ones, and dead letters that were sent again. The target is a subscription, or
    // one process of it: \`shop.Cache#<member>\`.
    `CREATE TABLE ${schema}.deferred (
      number bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
      target text COLLATE "C" NOT NULL,
      channel text COLLATE "C" NOT NULL,
      partition smallint NOT NULL,
      due_at timestamptz NOT NULL,
      attempt integer NOT NULL,
      -- Taken by an owner that has not given it back: if that one died, it may have been the cause.
      taken boolean NOT NULL DEFAULT false,
      crashes integer NOT NULL DEFAULT 0,
      origin text,
      time bigint NOT NULL,
      id text,
      key text,
      headers json NOT NULL,
      body bytea NOT NULL
    )`,
    `CREATE INDEX deferred_by_target ON ${schema}.deferred (target, channel, partition, due_at, number)`,

    `CREATE TABLE ${schema}.dead_letters (
      number bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
      id text COLLATE "C" NOT NULL,
      service text COLLATE "C" NOT NULL,
      listener text COLLATE "C" NOT NULL,
      channel text COLLATE "C" NOT NULL,
      reason text NOT NULL,
      error_name text NOT NULL,
      error_code text,
      error_message text NOT NULL,
      error_stack text,
      attempts integer NOT NULL,
      first_failed_at bigint NOT NULL,
      dead_at bigint NOT NULL,
      event_name text,
      event_version integer,
      event_id text,
      key text,
      headers json NOT NULL,
      body bytea NOT NULL,
      time bigint NOT NULL,
      position text NOT NULL,
      UNIQUE (service, id)
    )`,
    `CREATE INDEX dead_letters_by_service ON ${schema}.dead_letters (service, number)`,
  ],
};
