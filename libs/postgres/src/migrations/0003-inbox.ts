import type { Migration } from './migration.js';

/** What listeners have handled, and what they sent meanwhile. */
export const inbox: Migration = {
  name: '0003-inbox',
  up: (schema) => [
    `CREATE TABLE ${schema}.inbox (
      listener text COLLATE "C" NOT NULL,
      source text COLLATE "C" NOT NULL,
      id text COLLATE "C" NOT NULL,
      digest bytea NOT NULL,
      outputs text,
      handled_at timestamptz NOT NULL DEFAULT now(),
      PRIMARY KEY (listener, source, id)
    )`,
    `CREATE INDEX inbox_handled ON ${schema}.inbox (handled_at)`,
  ],
};
