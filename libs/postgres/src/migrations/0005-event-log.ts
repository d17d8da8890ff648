import type { Migration } from './migration.js';

/**
 * What was sent and what was handled, as views of what is kept anyway. The columns that the inbox gains may be null: rows of before have
 * none of it, and processes of the version before go on inserting without.
 */
export const eventLog: Migration = {
  name: '0005-event-log',
  up: (schema) => [
    `ALTER TABLE ${schema}.inbox ADD COLUMN event text, ADD COLUMN version integer, ADD COLUMN channel text, ADD COLUMN key text,
      ADD COLUMN attempts integer`,

    // So small that an INSERT does not feel it; whoever looks at an hour need not read a week.
    `CREATE INDEX outbox_by_time ON ${schema}.outbox USING brin (stored_at) WITH (autosummarize = on)`,

    // Name and version as the bindings of our providers spell them; null for messages of another wire format.
    `CREATE VIEW ${schema}.log_sent AS SELECT service, position, provider, channel, recipient, key, id,
        coalesce(headers::json ->> 'ce_type', headers::json ->> 'cloudEvents:type') AS event,
        coalesce(headers::json ->> 'ce_dataversion', headers::json ->> 'cloudEvents:dataversion', '1') AS version,
        state AS outcome, attempts, octet_length(body) AS size,
        error::json ->> 'name' AS error_name, error::json ->> 'code' AS error_code, error::json ->> 'message' AS error_message,
        stored_at, settled_at, due_at
      FROM ${schema}.outbox`,

    // Dead letters of this schema only: those of another provider lie on its broker, and the API looks there.
    `CREATE VIEW ${schema}.log_handled AS
      SELECT listener, 'handled' AS outcome, event, version, id, source, channel, key, attempts, handled_at AS at,
        NULL::text AS reason, NULL::text AS error_name, NULL::text AS error_code, NULL::text AS error_message, NULL::text AS letter
      FROM ${schema}.inbox
      UNION ALL
      SELECT service || '.' || listener, 'failed', event_name, event_version, event_id, NULL, channel, key, attempts,
        to_timestamp(dead_at / 1000.0), reason, error_name, error_code, error_message, id
      FROM ${schema}.dead_letters`,
  ],
};
