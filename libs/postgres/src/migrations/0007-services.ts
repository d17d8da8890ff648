import type { Migration } from './migration.js';

/**
 * Whose listener has handled an event: its name alone does not tell "shop" from "shop.eu". May be null: rows of before have none, and
 * processes of the version before go on inserting without. And an index that no question uses goes, with what it costs each insert.
 */
export const services: Migration = {
  name: '0007-services',
  up: (schema) => [
    `ALTER TABLE ${schema}.inbox ADD COLUMN service text COLLATE "C"`,
    `DROP INDEX IF EXISTS ${schema}.events_by_time`,
  ],
};
