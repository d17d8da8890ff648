import { Transform, Type } from 'class-transformer';
import {
  Allow,
  IsArray,
  IsEmail,
  IsInt,
  IsOptional,
  IsString,
  Min,
  registerDecorator,
  Validate,
  ValidateNested,
  ValidatorConstraint,
  type ValidatorConstraintInterface,
} from 'class-validator';
import { describe, expect, it } from 'vitest';
import { turn } from '../kernel.fixture.js';
import type { BodyValidator, Validated } from './body.validator.js';
import { classValidatorFor } from './class-validator.validator.js';

class Address {
  @IsString() city!: string;
}
class Line {
  @IsString() article!: string;
  @IsInt() @Min(1) count!: number;
  @IsOptional() @ValidateNested() @Type(() => Address) from?: Address;
}
class Order {
  @IsString() id!: string;
  @IsArray() @ValidateNested({ each: true }) @Type(() => Line) lines!: Line[];
}
class Customer {
  @IsEmail() email!: string;
  @IsOptional() @IsString() name?: string;
  @Allow() extra?: unknown;

  greeting(): string {
    return `Dear ${this.name ?? this.email}`;
  }
}

function validatorOf(type: new () => object, unknownFields: 'reject' | 'strip' | 'keep' = 'reject'): BodyValidator {
  const validator = classValidatorFor(type, unknownFields);
  if (validator === undefined) throw new Error(`${type.name} has no rules`);
  return validator;
}
const problems = async (result: Validated | Promise<Validated>): Promise<readonly string[] | undefined> =>
  (await result).problems;
const body = (result: Validated | Promise<Validated>): object => {
  if (result instanceof Promise || result.problems !== undefined) throw new Error('not valid at once');
  return result.body;
};

describe('class-validator rules', () => {
  it('are none where nothing decorates the class: then there is no validator', () => {
    class Plain {
      a?: string;
    }
    expect(classValidatorFor(Plain, 'reject')).toBeUndefined();
  });

  it('make an instance, with its methods, of a plain object', () => {
    const customer = body(validatorOf(Customer)({ email: 'a@b.de', name: 'Ada' }));
    expect(customer).toBeInstanceOf(Customer);
    expect((customer as Customer).greeting()).toBe('Dear Ada');
  });

  it('take an instance as it is', () => {
    const given = Object.assign(new Customer(), { email: 'a@b.de' });
    expect(body(validatorOf(Customer)(given))).toBe(given);
  });

  it('name each field that is wrong, and what is wrong with it', async () => {
    expect(await problems(validatorOf(Customer)({ email: 7, name: [] }))).toEqual([
      'email must be an email',
      'name must be a string',
    ]);
  });

  it.each([
    [null, 'it is null, not an object'],
    [[], 'it is an array, not an object'],
    ['text', 'it is a string, not an object'],
    [undefined, 'it is undefined, not an object'],
  ])('refuse %j, which is no object', async (value, problem) => {
    expect(await problems(validatorOf(Customer)(value))).toEqual([problem]);
  });

  it('name a few of very many problems', async () => {
    const many = Object.fromEntries(Array.from({ length: 60 }, (_, index) => [`field${index}`, 'x'.repeat(10)]));
    const found = (await problems(validatorOf(Customer)({ email: 'a@b.de', ...many }))) ?? [];
    expect(found).toHaveLength(11);
    expect(found.at(-1)).toBe('and 50 more');
  });

  it('hold for a class that inherits them', async () => {
    class Vip extends Customer {}
    expect(await problems(validatorOf(Vip)({ email: 'no' }))).toEqual(['email must be an email']);
  });
});

describe('fields that the class does not declare', () => {
  const given = (): Record<string, unknown> => ({ email: 'a@b.de', admin: true });

  it('are refused by default', async () => {
    expect(await problems(validatorOf(Customer, 'reject')(given()))).toEqual(['property admin should not exist']);
  });

  it('are taken off under "strip"', () => {
    expect(body(validatorOf(Customer, 'strip')(given()))).toEqual({ email: 'a@b.de' });
  });

  it("are not taken off the sender's own object", () => {
    const own = Object.assign(new Customer(), given());
    expect(body(validatorOf(Customer, 'strip')(own))).toEqual({ email: 'a@b.de' });
    expect(own).toMatchObject({ admin: true });
  });

  it('are kept under "keep"', () => {
    expect(body(validatorOf(Customer, 'keep')(given()))).toMatchObject({ email: 'a@b.de', admin: true });
  });

  it('are none, whatever they hold, where the class allows them', () => {
    expect(body(validatorOf(Customer)({ email: 'a@b.de', extra: { anything: 1 } }))).toMatchObject({
      extra: { anything: 1 },
    });
  });

  it('are refused in nested objects too', async () => {
    const order = { id: '1', lines: [{ article: 'a', count: 1, price: 0 }] };
    expect(await problems(validatorOf(Order)(order))).toEqual(['lines.0.price: property price should not exist']);
  });

  it.each(['reject', 'strip', 'keep'] as const)(
    'reach no prototype when one is called __proto__ (%s)',
    async (unknownFields) => {
      const hostile = JSON.parse('{"email":"a@b.de","__proto__":{"admin":true}}') as object;
      const result = await validatorOf(Customer, unknownFields)(hostile);
      expect(result.problems).toEqual(['it has a field called __proto__']);
      expect(({} as Record<string, unknown>)['admin']).toBeUndefined();
    },
  );
});

describe('nested objects', () => {
  it('become instances of their classes, checked in depth', async () => {
    const order = (await validatorOf(Order)({
      id: '1',
      lines: [{ article: 'a', count: 2, from: { city: 'Kiel' } }],
    })) as {
      body: Order;
    };
    expect(order.body.lines[0]).toBeInstanceOf(Line);
    expect(order.body.lines[0]?.from).toBeInstanceOf(Address);
  });

  it('name the path of what is wrong', async () => {
    const order = {
      id: '1',
      lines: [
        { article: 'a', count: 1 },
        { article: 'b', count: 0, from: { city: 7 } },
      ],
    };
    expect(await problems(validatorOf(Order)(order))).toEqual([
      'lines.1.count: count must not be less than 1',
      'lines.1.from.city: city must be a string',
    ]);
  });

  it.each([[[null]], [['text']], ['no array'], [undefined], [{ length: 1 }]])(
    'refuse %j in their place',
    async (lines) => {
      expect(await problems(validatorOf(Order)({ id: '1', lines }))).not.toBeUndefined();
    },
  );
});

describe('asynchronous rules', () => {
  @ValidatorConstraint({ async: true })
  class Free implements ValidatorConstraintInterface {
    async validate(value: unknown): Promise<boolean> {
      await turn();
      return value !== 'taken';
    }
    defaultMessage(): string {
      return 'name is taken';
    }
  }
  const Known = (): PropertyDecorator => (target, propertyName) =>
    registerDecorator({
      name: 'known',
      async: true,
      target: target.constructor,
      propertyName: propertyName as string,
      options: { message: 'id is unknown' },
      validator: { validate: (value: unknown) => turn().then(() => value === 'known') },
    });
  class Account {
    @Validate(Free) name!: string;
  }
  class Session {
    @Known() id!: string;
  }
  class Nesting {
    @ValidateNested() @Type(() => Account) account!: Account;
  }

  it('are waited for, not passed over', async () => {
    expect(await problems(validatorOf(Account)({ name: 'taken' }))).toEqual(['name is taken']);
    expect(await problems(validatorOf(Account)({ name: 'free' }))).toBeUndefined();
    expect(await problems(validatorOf(Session)({ id: 'x' }))).toEqual(['id is unknown']);
  });

  it('are waited for in nested objects', async () => {
    expect(await problems(validatorOf(Nesting)({ account: { name: 'taken' } }))).toEqual([
      'account.name: name is taken',
    ]);
  });

  it('alone cost a promise: a class without them answers at once', () => {
    expect(validatorOf(Account)({ name: 'a' })).toBeInstanceOf(Promise);
    expect(validatorOf(Customer)({ email: 'a@b.de' })).not.toBeInstanceOf(Promise);
  });
});

describe('class-transformer', () => {
  it('turns text into what the class says', () => {
    class Dated {
      @Type(() => Date) @Allow() at!: Date;
      @Transform(({ value }) => String(value).trim()) @IsString() name!: string;
    }
    const dated = body(validatorOf(Dated)({ at: '2026-01-01T00:00:00Z', name: '  Ada ' })) as Dated;
    expect([dated.at.getTime(), dated.name]).toEqual([Date.UTC(2026, 0, 1), 'Ada']);
  });
});
