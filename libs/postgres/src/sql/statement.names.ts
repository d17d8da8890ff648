/** So many different statements are prepared once for each connection; of others there may be any number. */
const MOST = 200;

/** Gives statements names, by which each connection parses and plans them once. */
export class StatementNames {
  private readonly names = new Map<string, string>();

  named(text: string): { readonly text: string; readonly name?: string } {
    let name = this.names.get(text);
    if (name === undefined) {
      if (this.names.size >= MOST || !PREPARABLE.test(text)) return { text };
      name = `evt_${this.names.size + 1}`;
      this.names.set(text, name);
    }
    return { text, name };
  }
}

/** A change of the schema is run once. */
const PREPARABLE = /^\s*(SELECT|INSERT|UPDATE|DELETE|WITH)\b/i;
