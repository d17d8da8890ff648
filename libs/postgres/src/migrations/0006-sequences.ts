import type { Migration } from './migration.js';

/**
 * Dead letters in the order of their keys. `sequence` names the row that a letter stands in, `releases` counts how often it was sent again,
 * `released_after` is the letter whose handling sent it. Processes of the version before go on inserting without.
 */
export const sequences: Migration = {
  name: '0006-sequences',
  up: (schema) => [
    `ALTER TABLE ${schema}.dead_letters ADD COLUMN sequence text COLLATE "C", ADD COLUMN releases bigint NOT NULL DEFAULT 0,
      ADD COLUMN is_released boolean NOT NULL DEFAULT false, ADD COLUMN released_after text COLLATE "C"`,
    `CREATE INDEX dead_letters_by_sequence ON ${schema}.dead_letters (service, sequence, number) WHERE sequence IS NOT NULL`,
  ],
};
