/** The attempt from which on records are tried one at a time, so that the right one is blamed for crashes. */
const SUSPICIOUS = 3;

/**
 * Before the first record of a partition, and before each that may have killed its process: nothing passes until it is on record that it
 * is being tried.
 */
export class AttemptGate {
  private state: 'closed' | 'opening' | 'open';
  private suspects: number;

  constructor(
    /** Where the position was found, and with which attempt the record there is to be delivered. */
    private readonly start: { readonly offset: number; readonly attempt: number },
    { commits, window }: { readonly commits: boolean; readonly window: number },
  ) {
    // As many as may have been in work, and the first that was not.
    this.suspects = commits && start.attempt >= SUSPICIOUS ? window + 1 : 0;
    this.state = commits ? 'closed' : 'open';
  }

  /** With which attempt a record is delivered that was not delivered since. */
  attemptAt(offset: number): number {
    return offset === this.start.offset ? this.start.attempt : 1;
  }

  /** It passes, and so does all that follows. */
  get isOpen(): boolean {
    return this.state === 'open' && this.suspects === 0;
  }

  /**
   * Whether the next record is on record as being tried; if not, puts it there first. Suspects pass one by one.
   *
   * @param write resolves to false if the partition was lost before
   * @param opened called when it is worth asking again
   */
  pass(atWork: number, write: () => Promise<boolean>, opened: () => void): boolean {
    if (this.suspects > 0 && atWork > 0) return false;
    if (this.state === 'open') {
      if (this.suspects > 0) {
        this.suspects--;
        this.state = 'closed';
      }
      return true;
    }
    if (this.state === 'closed') {
      this.state = 'opening';
      void write().then((written) => {
        if (!written) return;
        this.state = 'open';
        opened();
      });
    }
    return false;
  }

  /** What to note where nothing is at work. @param isClean it is given back in good order */
  noteAt(offset: number, isClean: boolean): number {
    return this.attemptAt(offset) + (this.state === 'opening' && !isClean ? 1 : 0);
  }
}
