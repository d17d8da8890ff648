declare module 'rhea/lib/frames.js' {
  const frames: {
    /** A performative that a session can put out. */
    disposition(fields: {
      readonly role: boolean;
      readonly first: number;
      readonly last: number;
      readonly settled: boolean;
      readonly state: unknown;
    }): unknown;
  };
  export default frames;
}
