import { describe, expect, it } from 'vitest';
import { z } from 'zod';
import { turn } from '../kernel.fixture.js';
import { bodyValidatorFor, hydrate } from './body.validator.js';
import type { StandardSchemaV1 } from './standard-schema.js';

class Order {
  id!: string;
  total!: number;
  double(): number {
    return this.total * 2;
  }
}
const schema = z.object({
  id: z.string(),
  total: z.number().positive(),
  lines: z.array(z.object({ article: z.string() })).optional(),
});

describe('a class without rules', () => {
  const validate = bodyValidatorFor(Order, {});

  it('is hydrated: its methods are there, its constructor is not called', () => {
    let constructed = 0;
    class Counted extends Order {
      constructor() {
        super();
        constructed++;
      }
    }
    const result = bodyValidatorFor(Counted, {})({ id: '1', total: 2 });
    expect(result).toMatchObject({ body: { id: '1', total: 2 } });
    expect((result as { body: Counted }).body.double()).toBe(4);
    expect(constructed).toBe(0);
  });

  it('takes an instance, also of a subclass, as it is', () => {
    class Special extends Order {}
    const own = new Special();
    expect(validate(own)).toEqual({ body: own });
    expect((validate(own) as { body: object }).body).toBe(own);
  });

  it.each([
    [null, 'null'],
    [[1], 'an array'],
    ['text', 'a string'],
    [7, 'a number'],
    [true, 'a boolean'],
  ])('refuses %j', (value, what) => {
    expect(validate(value)).toEqual({ problems: [`it is ${what}, not an object`] });
  });

  it('refuses a field called __proto__: it would change what the object is', () => {
    const hostile = JSON.parse('{"id":"1","__proto__":{"double":"gone"}}') as object;
    expect(hydrate(Order, hostile)).toEqual({ problems: ['it has a field called __proto__'] });
  });
});

describe('a Standard Schema', () => {
  it('is used instead of class-validator, and its output becomes an instance', () => {
    const validate = bodyValidatorFor(Order, {
      schema: schema.transform((order) => ({ ...order, total: order.total + 1 })),
    });
    const result = validate({ id: '1', total: 2 }) as { body: Order };
    expect(result.body).toBeInstanceOf(Order);
    expect(result.body.double()).toBe(6);
  });

  it('names the path of each problem', () => {
    const result = bodyValidatorFor(Order, { schema })({ id: 1, total: -1, lines: [{ article: 'a' }, {}] });
    expect(result).toMatchObject({
      problems: [
        expect.stringMatching(/^id: .*expected string/),
        expect.stringMatching(/^total: Too small/),
        expect.stringMatching(/^lines\.1\.article: /),
      ],
    });
  });

  it('decides about unknown fields itself', () => {
    expect(bodyValidatorFor(Order, { schema })({ id: '1', total: 1, more: 1 })).toEqual({
      body: Object.assign(new Order(), { id: '1', total: 1 }),
    });
    expect(bodyValidatorFor(Order, { schema: schema.strict() })({ id: '1', total: 1, more: 1 })).toMatchObject({
      problems: [expect.stringContaining('"more"')],
    });
  });

  it('may be asynchronous, and is waited for', async () => {
    const slow = schema.refine(
      async ({ id }) => {
        await turn();
        return id !== 'taken';
      },
      { message: 'is taken', path: ['id'] },
    );
    const validate = bodyValidatorFor(Order, { schema: slow });
    const pending = validate({ id: 'taken', total: 1 });
    expect(pending).toBeInstanceOf(Promise);
    expect(await pending).toEqual({ problems: ['id: is taken'] });
    expect(await validate({ id: 'free', total: 1 })).toMatchObject({ body: { id: 'free' } });
  });

  it('may answer with a promise that is not of our realm', async () => {
    class OldPromise {
      // oxlint-disable-next-line unicorn/no-thenable -- what an old promise library gives
      then(resolve: (result: unknown) => void): void {
        resolve({ value: { id: '1', total: 1 } });
      }
    }
    const foreign: StandardSchemaV1 = {
      '~standard': {
        version: 1,
        vendor: 'foreign',
        validate: () => new OldPromise() as unknown as Promise<{ value: unknown }>,
      },
    };
    expect(await bodyValidatorFor(Order, { schema: foreign })({})).toMatchObject({ body: { id: '1' } });
  });

  it('may name steps of a path as objects, or none', () => {
    const issues: StandardSchemaV1 = {
      '~standard': {
        version: 1,
        vendor: 'foreign',
        validate: () => ({ issues: [{ message: 'bad', path: [{ key: 'a' }, 0] }, { message: 'worse' }] }),
      },
    };
    expect(bodyValidatorFor(Order, { schema: issues })({})).toEqual({ problems: ['a.0: bad', 'worse'] });
  });

  it("may be a function, as arktype's are", () => {
    const callable = Object.assign(() => undefined, {
      '~standard': { version: 1, vendor: 'arktype', validate: (value: unknown) => ({ value }) },
    }) as unknown as StandardSchemaV1;
    expect(bodyValidatorFor(Order, { schema: callable })({ id: '1' })).toMatchObject({ body: { id: '1' } });
  });
});
