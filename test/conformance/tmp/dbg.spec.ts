import { it } from 'vitest';
import { conformance } from 'nestjs-eventing/testing';
import { memoryEnvironment } from '../memory.environment.js';
import { mutated } from '../mutant.provider.js';
import { mutants } from '../mutants.js';
const m = mutants.find((x) => x.name.startsWith(process.env['M'] as string))!;
it('x', async () => {
  for (const id of Object.keys(m.caught)) {
    const bodies: (() => Promise<void>)[] = [];
    const report = conformance(
      { describe: (_n, b) => b(), it: (_n, b) => bodies.push(b) },
      mutated(memoryEnvironment(4000), m.mutate),
      { only: [id] },
    );
    for (const b of bodies) await b().catch((e) => console.log(e));
    console.log(String(report));
  }
}, 60000);
