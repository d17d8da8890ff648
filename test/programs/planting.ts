/** A mistake that somebody could make, put into what is compiled. */
export interface Planting {
  readonly name: string;
  /** Below the repository, or below what is compiled from it; without its ending. */
  readonly file: string;
  /** Statements as both TypeScript and JavaScript spell them; white space does not count. */
  readonly instead: string;
  readonly put: string;
}

/** Throws where the statements are not there, or not once. */
export function plant({ name, file, instead, put }: Planting, source: string): string {
  const words = instead.split(/\s+/).map((word) => word.replace(/[.*+?^${}()|[\]\\]/g, '\\$&'));
  const parts = source.split(new RegExp(words.join('\\s+')));
  if (parts.length === 2) return parts.join(put);
  throw new Error(`"${name}" cannot be planted: ${file} has ${parts.length - 1} times \`${instead}\``);
}
