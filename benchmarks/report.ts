import type { Result } from './comparison.js';

const figure = (value: number): string =>
  value >= 1000 ? Math.round(value).toLocaleString('en') : value.toPrecision(3);

/** The results as a page. */
export function markdown(results: readonly Result[], machine: string, at: Date): string {
  const rows = results.map(({ bench, metric, unit, system, value, reference, referenceValue, ratio, target }) => {
    const verdict = target === undefined ? '' : `${target.text}: ${target.met ? 'met' : '**missed**'}`;
    return `| ${[bench, `${metric}, ${unit}`, `${system}: ${figure(value)}`, `${reference}: ${figure(referenceValue)}`, `${ratio.toFixed(2)} ×`, verdict].join(' | ')} |`;
  });
  return `# Results

Measured by \`npm run bench -- --write\`, lately on ${at.toISOString().slice(0, 10)}: ${machine}, with the brokers on the same machine.
Each side runs in a process of its own, in turn with the other; figures are medians over the rounds. A round in which an event
is lost or repeated fails the run. Rates depend on the machine: compare the ratios. Client CPU is the process's own.\n[Notes](NOTES.md) tell why a figure is what it is, and what was tried.

| what | metric | ours | reference | ratio | asked |
|---|---|---|---|---|---|
${rows.join('\n')}
`;
}
