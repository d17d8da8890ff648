/** Where a command runs and what it prints to. */
export interface Terminal {
  /** Where `eventing.config.js` is looked for. */
  readonly folder: string;
  readonly out: (text: string) => void;
  readonly err: (text: string) => void;
  /** Characters of a line. */
  readonly width: number;
}
