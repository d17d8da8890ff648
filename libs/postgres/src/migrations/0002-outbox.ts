import type { Migration } from './migration.js';

/** What is sent inside a transaction, until it is published; and which process publishes it. */
export const outbox: Migration = {
  name: '0002-outbox',
  up: (schema) => [
    // `xid` stands before `position` on purpose. Defaults are computed in the order of the columns, so whoever has drawn a position
    // has a transaction id already: that is how a relay knows up to where nothing can appear any more. For the same reason no
    // connection draws positions in advance. A state is waiting, retrying, failed or sent.
    `CREATE TABLE ${schema}.outbox (
      xid xid8 NOT NULL DEFAULT pg_current_xact_id(),
      position bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
      service text COLLATE "C" NOT NULL,
      provider text COLLATE "C" NOT NULL,
      id text NOT NULL,
      channel text COLLATE "C" NOT NULL,
      key text COLLATE "C",
      headers text NOT NULL,
      body bytea NOT NULL,
      time bigint NOT NULL,
      durable boolean NOT NULL,
      recipient text,
      state text COLLATE "C" NOT NULL DEFAULT 'waiting',
      attempts integer NOT NULL DEFAULT 0,
      due_at timestamptz,
      error text,
      stored_at timestamptz NOT NULL DEFAULT now(),
      settled_at timestamptz
    )`,
    `CREATE INDEX outbox_waiting ON ${schema}.outbox (service, provider, position) WHERE state = 'waiting'`,
    `CREATE INDEX outbox_held ON ${schema}.outbox (service, provider, channel, key, position) WHERE state IN ('retrying', 'failed')`,
    `CREATE INDEX outbox_sent ON ${schema}.outbox (service, settled_at) WHERE state = 'sent'`,

    // One relay a service and provider. The token is the fencing token: it grows with each holder. `sweep` grows when rows that a
    // relay has passed by may be published after all.
    `CREATE TABLE ${schema}.outbox_relays (
      service text COLLATE "C" NOT NULL,
      provider text COLLATE "C" NOT NULL,
      holder text NOT NULL,
      token bigint NOT NULL,
      expires_at timestamptz NOT NULL,
      sweep bigint NOT NULL DEFAULT 0,
      PRIMARY KEY (service, provider)
    ) WITH (fillfactor = 50)`,
  ],
};
