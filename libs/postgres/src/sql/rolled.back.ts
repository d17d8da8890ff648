import { EventingError } from 'nestjs-eventing';

/** PostgreSQL answers the COMMIT of a transaction in which a statement failed with a rollback, and not with an error. */
export function rolledBack(): EventingError {
  return new EventingError(
    'EVT_TRANSACTION_FAILED',
    'The transaction was rolled back at its commit: a statement in it had failed, and the failure was swallowed. Let it reject, or use a savepoint.',
  );
}
