#!/usr/bin/env node
import { runCommand } from './run.command.js';

/** Milliseconds for what a broker's client leaves behind; then the process ends all the same, when all is printed. */
const LAST = 5_000;

function end(code: number): void {
  if (process.stdout.writableLength === 0) process.exit(code);
  setTimeout(end, 100, code);
}

// Whoever reads the output may have seen enough (`| head`).
process.stdout.on('error', () => undefined);

void runCommand(process.argv.slice(2), {
  folder: process.cwd(),
  out: (text) => void process.stdout.write(text),
  err: (text) => void process.stderr.write(text),
  width: process.stdout.columns ?? 160,
}).then((code) => {
  process.exitCode = code;
  setTimeout(end, LAST, code).unref();
});
