import { describe, expect, it } from 'vitest';
import { turn } from '../kernel.fixture.js';
import { EventingContext } from './eventing.context.js';

describe('EventingContext', () => {
  it('has no scope outside of one', () => {
    expect(new EventingContext().current()).toBeUndefined();
  });

  it('keeps its scope across await, and apart from scopes that run at the same time', async () => {
    const context = new EventingContext();
    const seen = await Promise.all(
      ['a', 'b', 'c'].map((correlationId) =>
        context.run({ correlationId }, async () => {
          await turn();
          return context.current()?.correlationId;
        }),
      ),
    );
    expect(seen).toEqual(['a', 'b', 'c']);
    expect(context.current()).toBeUndefined();
  });

  it('has no scope any more when it is closed, and one again where it is used after that', async () => {
    const context = new EventingContext();
    const seen = await context.run({ correlationId: 'c' }, async () => {
      await turn();
      context.close();
      return context.current();
    });
    expect(seen).toBeUndefined();
    expect(context.run({ correlationId: 'd' }, () => context.current())).toEqual({ correlationId: 'd' });
  });

  it('inherits from the scope around what it leaves out', () => {
    const context = new EventingContext();
    const inner = context.run({ correlationId: 'c', causationId: 'd' }, () =>
      context.run({ causationId: 'e' }, () => context.current()),
    );
    expect(inner).toEqual({ correlationId: 'c', causationId: 'e' });
  });

  it('inherits nothing where it runs alone', () => {
    const context = new EventingContext();
    const inner = context.run({ correlationId: 'c', causationId: 'd' }, () =>
      context.runAlone({ causationId: 'e' }, () => context.current()),
    );
    expect(inner).toEqual({ causationId: 'e' });
  });

  it('returns what the function returns, and throws what it throws', () => {
    const context = new EventingContext();
    expect(context.run({}, () => 7)).toBe(7);
    expect(() =>
      context.run({}, () => {
        throw new Error('inside');
      }),
    ).toThrow('inside');
  });

  it('is seen by nobody else: two contexts never share a scope', () => {
    const [one, two] = [new EventingContext(), new EventingContext()];
    expect(one.run({ correlationId: 'c' }, () => two.current())).toBeUndefined();
  });
});
