/** A command that cannot be followed as it was written; the message says why. Exit code 2. */
export class UsageError extends Error {
  override readonly name = 'UsageError';
}
