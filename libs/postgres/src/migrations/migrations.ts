import { log } from './0001-log.js';
import { outbox } from './0002-outbox.js';
import { inbox } from './0003-inbox.js';
import type { Migration } from './migration.js';

/** Every step of the schema, in order. */
export const migrations: readonly Migration[] = [log, outbox, inbox];
