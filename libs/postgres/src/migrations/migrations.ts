import { log } from './0001-log.js';
import { outbox } from './0002-outbox.js';
import { inbox } from './0003-inbox.js';
import { members } from './0004-members.js';
import { eventLog } from './0005-event-log.js';
import { sequences } from './0006-sequences.js';
import { services } from './0007-services.js';
import { forgotten } from './0008-forgotten.js';
import type { Migration } from './migration.js';

/** Every step of the schema, in order. */
export const migrations: readonly Migration[] = [log, outbox, inbox, members, eventLog, sequences, services, forgotten];
