/** One step of the schema. Never changed once it was released: what comes later is a further step. */
export interface Migration {
  /** `0001-log`: in the order of the numbers. */
  readonly name: string;
  /** Statements, run one after the other in one transaction. @param schema quoted */
  up(schema: string): readonly string[];
}
