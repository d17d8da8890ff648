import { inspect } from 'node:util';

// Runs programs one after the other in one process: importing Nest takes longer than most of them. Compiled and started by
// `SnippetProject`, which is told how each ended.
for (const program of process.argv.slice(2)) {
  let error: string | undefined;
  try {
    await import(program);
  } catch (thrown) {
    error = inspect(thrown);
  }
  await new Promise((sent) => process.send?.({ program, error }, sent));
}
process.exit();
