import type { EventOptions } from '../declare/event.decorator.js';
import type { EventClass } from '../declare/metadata.js';
import { classValidatorFor } from './class-validator.validator.js';
import type { StandardIssue, StandardSchemaV1 } from './standard-schema.js';

/** Either an instance of the event class, or what is wrong with it: one line each, ready for a message. */
export type Validated =
  { readonly body: object; readonly problems?: undefined } | { readonly problems: readonly string[] };

/** Turns what came (an instance, a plain object, anything) into a valid instance. Asynchronous only where its rules are. */
export type BodyValidator = (value: unknown) => Validated | Promise<Validated>;

/** How many problems a message names. */
const MOST_PROBLEMS = 10;

/** A schema where one is given, else class-validator and class-transformer where they decorate the class, else hydration. */
export function bodyValidatorFor(type: EventClass, options: EventOptions): BodyValidator {
  if (options.schema !== undefined) return schemaValidator(type, options.schema);
  return classValidatorFor(type, options.unknownFields ?? 'reject') ?? ((value) => hydrate(type, value));
}

/** Gives a plain object the class's prototype; its constructor is not called, as in every deserializer. */
export function hydrate(type: EventClass, value: unknown): Validated {
  if (value instanceof type) return { body: value };
  const problem = misfit(value);
  if (problem !== undefined) return { problems: [problem] };
  return { body: Object.assign(Object.create(type.prototype as object) as object, value) };
}

/** Why a value cannot become an instance of any class. */
export function misfit(value: unknown): string | undefined {
  if (typeof value !== 'object' || value === null || Array.isArray(value))
    return `it is ${kindOf(value)}, not an object`;
  // Copied to an instance, it would change what the instance is.
  return Object.hasOwn(value, '__proto__') ? 'it has a field called __proto__' : undefined;
}

function kindOf(value: unknown): string {
  if (value === null || value === undefined) return String(value);
  return Array.isArray(value) ? 'an array' : `a ${typeof value}`;
}

export function bounded(problems: readonly string[]): string[] {
  const some = problems.slice(0, MOST_PROBLEMS).map((problem) => problem.slice(0, 300));
  return problems.length > MOST_PROBLEMS ? [...some, `and ${problems.length - MOST_PROBLEMS} more`] : some;
}

function schemaValidator(type: EventClass, schema: StandardSchemaV1): BodyValidator {
  const standard = schema['~standard'];
  return (value) => {
    const result = standard.validate(value);
    return 'then' in result ? Promise.resolve(result).then(read) : read(result);
  };
  function read(result: Awaited<ReturnType<typeof standard.validate>>): Validated {
    return result.issues === undefined ? hydrate(type, result.value) : { problems: bounded(result.issues.map(line)) };
  }
}

function line(issue: StandardIssue): string {
  const path = (issue.path ?? []).map((step) => String(typeof step === 'object' ? step.key : step)).join('.');
  return path === '' ? issue.message : `${path}: ${issue.message}`;
}
