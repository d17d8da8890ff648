/** How one case ended. */
export interface ConformanceResult {
  readonly id: string;
  readonly title: string;
  readonly outcome: 'passed' | 'failed' | 'skipped';
  /** Why it was skipped. */
  readonly reason?: string;
  readonly error?: unknown;
  readonly milliseconds: number;
}

/** What the suite found, filled in while it runs. */
export class ConformanceReport {
  readonly results: ConformanceResult[] = [];

  constructor(
    /** Name of the environment. */
    readonly environment: string,
    /** Of the random numbers; give it to `conformance()` to see the same ones again. */
    readonly seed: number,
  ) {}

  get passed(): readonly ConformanceResult[] {
    return this.#those('passed');
  }

  get failed(): readonly ConformanceResult[] {
    return this.#those('failed');
  }

  get skipped(): readonly ConformanceResult[] {
    return this.#those('skipped');
  }

  /** `undefined` where the case has not run. */
  of(id: string): ConformanceResult | undefined {
    return this.results.find((result) => result.id === id);
  }

  /** One line, and one for each case that did not pass. */
  toString(): string {
    const { passed, failed, skipped } = this;
    return [
      `${this.environment}: ${passed.length} passed, ${failed.length} failed, ${skipped.length} skipped`,
      ...failed.map(({ id, error }) => `  failed ${id}: ${error instanceof Error ? error.message : String(error)}`),
      ...skipped.map(({ id, reason }) => `  skipped ${id}: ${reason ?? ''}`),
    ].join('\n');
  }

  #those(outcome: ConformanceResult['outcome']): readonly ConformanceResult[] {
    return this.results.filter((result) => result.outcome === outcome);
  }
}
