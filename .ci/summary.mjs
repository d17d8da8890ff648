// The end of `.ci/run`: what failed, and why, then the count alone on the last line. One argument: vitest's JSON report.
import { readFileSync } from 'node:fs';

const MOST_LINES = 60;
const report = JSON.parse(readFileSync(process.argv[2], 'utf8'));

for (const file of report.testResults) {
  const failures = file.assertionResults.filter(({ status }) => status === 'failed');
  const told = failures.map(({ fullName, failureMessages }) => [fullName, failureMessages.join('\n')]);
  // A file that could not be read, or whose set-up failed, may have no failed test.
  if (file.status === 'failed' && told.length === 0) told.push(['the whole file', file.message]);
  for (const [name, message] of told) {
    const lines = message.split('\n').slice(0, MOST_LINES);
    console.log(`\nFAILED ${file.name}: ${name}\n${lines.map((line) => `  ${line}`).join('\n')}`);
  }
}

const { numPassedTests, numFailedTests, numPendingTests, numFailedTestSuites } = report;
const failed = numFailedTests + (numFailedTests === 0 ? numFailedTestSuites : 0);
if (numPendingTests > 0) console.log(`\n${numPendingTests} skipped: their reasons are above`);
console.log(`\n${numPassedTests} passed, ${failed} failed`);
