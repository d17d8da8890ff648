import type { Migration } from './migration.js';

/** Since when a process of a subscription is missed. Until it has been for a while, it may show itself: after an outage it could not before. */
export const members: Migration = {
  name: '0004-members',
  up: (schema) => [`ALTER TABLE ${schema}.members ADD COLUMN missed_at timestamptz`],
};
