import type { Migration } from './migration.js';

/** Up to where retention has deleted: a replay that it overtakes can say so. */
export const forgotten: Migration = {
  name: '0008-forgotten',
  up: (schema) => [
    `CREATE TABLE ${schema}.forgotten (
      channel text COLLATE "C" NOT NULL,
      partition smallint NOT NULL,
      xid xid8 NOT NULL,
      position bigint NOT NULL,
      PRIMARY KEY (channel, partition)
    ) WITH (fillfactor = 50)`,
  ],
};
