/** By option: the least and the greatest whole number that it may be. */
export type NumberLimits = Readonly<Record<string, readonly [least: number, most: number]>>;

/**
 * What is wrong with a provider's options, one sentence each: names that it does not know, which are mostly misspelled, and
 * numbers out of bounds. `resolved` has every option that there is, with defaults filled in.
 */
export function optionFaults(options: object, resolved: object, limits: NumberLimits): string[] {
  const faults: string[] = [];
  const known = Object.keys(resolved);
  for (const name of Object.keys(options))
    if (!known.includes(name))
      faults.push(`there is no option \`${name.slice(0, 100)}\`; known are ${known.join(', ')}`);
  for (const [name, [least, most]] of Object.entries(limits)) {
    const value: unknown = (resolved as Readonly<Record<string, unknown>>)[name];
    if (!Number.isInteger(value) || Number(value) < least || Number(value) > most)
      faults.push(`\`${name}\` must be a whole number from ${least} to ${most}, not ${String(value)}`);
  }
  return faults;
}
