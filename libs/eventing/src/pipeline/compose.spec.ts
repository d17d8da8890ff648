import { describe, expect, it, onTestFinished } from 'vitest';
import type { Next } from '../declare/envelope-pipeline.decorator.js';
import { Gate, turn } from '../kernel.fixture.js';
import { compose, type Step } from './compose.js';

type Run = Step<object, string>['run'];

const step = (name: string, run: Run): Step<object, string> => ({ name, run });
const through = (...runs: Run[]) => compose(runs.map((run, index) => step(`Step${index}.send`, run)));
const pass: Run = (_envelope, _descriptor, next) => next();

/** What nobody has caught by the time the test asks. An unhandled rejection ends a Node process. */
function unhandled(): unknown[] {
  const seen: unknown[] = [];
  const note = (reason: unknown): void => void seen.push(reason);
  const before = process.listeners('unhandledRejection');
  process.removeAllListeners('unhandledRejection');
  process.on('unhandledRejection', note);
  onTestFinished(() => {
    process.removeListener('unhandledRejection', note);
    for (const listener of before) process.on('unhandledRejection', listener);
  });
  return seen;
}

describe('compose', () => {
  it('runs steps outermost first, the last function inside all, and unwinds in reverse', async () => {
    const order: string[] = [];
    const around =
      (name: string): Run =>
      async (_envelope, _descriptor, next) => {
        order.push(`${name} in`);
        await next();
        order.push(`${name} out`);
      };
    await through(around('a'), around('b'))({}, '', async () => void order.push('last'));
    expect(order).toEqual(['a in', 'b in', 'last', 'b out', 'a out']);
  });

  it('hands every step the same envelope and descriptor, and keeps `this`', async () => {
    const envelope = {};
    const seen: unknown[] = [];
    class Own implements Step<object, string> {
      readonly name = 'Own.send';
      run(...[given, descriptor, next]: [object, string, Next]): Promise<void> {
        seen.push(this, given, descriptor);
        return next();
      }
    }
    const own = new Own();
    await compose([own])(envelope, 'orders.placed', () => Promise.resolve());
    expect(seen).toEqual([own, envelope, 'orders.placed']);
    expect(seen[1]).toBe(envelope);
  });

  it('calls the last function straight away where there are no steps', async () => {
    let called = 0;
    await compose([])({}, '', async () => void called++);
    expect(called).toBe(1);
  });

  it('keeps runs apart: one composed function may run many times at once', async () => {
    const gates = [new Gate(), new Gate()];
    const run = through(pass, pass);
    const first = run({}, '', () => (gates[0] as Gate).promise);
    const second = run({}, '', () => (gates[1] as Gate).promise);
    gates[1]?.open();
    await second;
    gates[0]?.open();
    await expect(first).resolves.toBeUndefined();
  });

  it('goes no further when a step throws before next()', async () => {
    let reached = false;
    const run = through(() => Promise.reject(new Error('no session')), pass);
    await expect(run({}, '', async () => void (reached = true))).rejects.toThrow('no session');
    expect(reached).toBe(false);
  });

  it('turns a synchronous throw into a rejection', async () => {
    const run = through(() => {
      throw new Error('at once');
    });
    await expect(run({}, '', () => Promise.resolve())).rejects.toThrow('at once');
  });

  it('fails when a step throws after next()', async () => {
    const run = through(async (_envelope, _descriptor, next) => {
      await next();
      throw new Error('too late to log');
    });
    await expect(run({}, '', () => Promise.resolve())).rejects.toThrow('too late to log');
  });

  it('lets a step replace the error of what is below', async () => {
    const run = through(async (_envelope, _descriptor, next) => {
      await next().catch(() => {
        throw new Error('named');
      });
    });
    await expect(run({}, '', () => Promise.reject(new Error('below')))).rejects.toThrow('named');
  });

  it('lets no step hide the error of what is below: the event was not handled', async () => {
    const run = through(async (_envelope, _descriptor, next) => next().catch(() => undefined));
    await expect(run({}, '', () => Promise.reject(new Error('below')))).rejects.toThrow('below');
  });

  it('waits for what is below a step that does not', async () => {
    const gate = new Gate();
    let ended = false;
    const running = through(async (_envelope, _descriptor, next) => void next())({}, '', () => gate.promise).then(
      () => (ended = true),
    );
    await turn();
    expect(ended).toBe(false);
    gate.open();
    await running;
    expect(ended).toBe(true);
  });

  it('waits for what is below a step that throws meanwhile: a lane must not go on while its listener runs', async () => {
    const gate = new Gate();
    let ended = false;
    const running = through(async (_envelope, _descriptor, next) => {
      void next();
      throw new Error('impatient');
    })({}, '', () => gate.promise).catch((error: unknown) => {
      ended = true;
      return error;
    });
    await turn();
    expect(ended).toBe(false);
    gate.open();
    expect(await running).toMatchObject({ message: 'impatient' });
  });

  it('leaves no rejection unhandled when a step awaits next() late, or not at all', async () => {
    const lost = unhandled();
    const failing = (): Promise<void> => Promise.reject(new Error('below'));
    const late = through(async (_envelope, _descriptor, next) => {
      const below = next();
      await turn();
      await turn();
      await below;
    });
    const never = through(async (_envelope, _descriptor, next) => {
      void next();
      throw new Error('own');
    });
    await expect(late({}, '', failing)).rejects.toThrow('below');
    await expect(never({}, '', failing)).rejects.toThrow('own');
    await turn();
    expect(lost).toEqual([]);
  });
});

describe('a step that does not keep to next() once', () => {
  it('is refused by name when it never calls next()', async () => {
    const run = through(pass, () => Promise.resolve());
    await expect(run({}, '', () => Promise.resolve())).rejects.toMatchObject({
      code: 'EVT_PIPELINE_NEXT_MISSING',
      message: expect.stringContaining('Step1.send ended without calling next()'),
    });
  });

  it('is refused by name when it calls next() twice, and what is below runs once', async () => {
    let reached = 0;
    const run = through(pass, async (_envelope, _descriptor, next) => {
      await next();
      await next();
    });
    await expect(run({}, '', async () => void reached++)).rejects.toMatchObject({
      code: 'EVT_PIPELINE_NEXT_TWICE',
      message: expect.stringContaining('Step1.send called next() twice'),
    });
    expect(reached).toBe(1);
  });

  it('is refused even if it hides or ignores that its second next() failed', async () => {
    const lost = unhandled();
    const hides = through(async (_envelope, _descriptor, next) => {
      await next();
      await next().catch(() => undefined);
    });
    const ignores = through(async (_envelope, _descriptor, next) => {
      void next();
      void next();
    });
    for (const run of [hides, ignores])
      await expect(run({}, '', () => Promise.resolve())).rejects.toMatchObject({ code: 'EVT_PIPELINE_NEXT_TWICE' });
    await turn();
    expect(lost).toEqual([]);
  });

  it('cannot call next() when it has ended: the attempt was over, and what is below never runs', async () => {
    const lost = unhandled();
    let reached = false;
    let later: Next | undefined;
    const run = through(async (_envelope, _descriptor, next) => void (later = next));
    await expect(run({}, '', async () => void (reached = true))).rejects.toMatchObject({
      code: 'EVT_PIPELINE_NEXT_MISSING',
    });
    const refused = later?.();
    await turn();
    expect(reached).toBe(false);
    expect(lost).toEqual([]);
    await expect(refused).rejects.toMatchObject({ code: 'EVT_PIPELINE_NEXT_MISSING' });
  });
});
