import { plainToInstance } from 'class-transformer';
import {
  getMetadataStorage,
  validate,
  validateSync,
  type ValidationError,
  type ValidatorOptions,
} from 'class-validator';
import type { EventOptions } from '../declare/event.decorator.js';
import type { EventClass } from '../declare/metadata.js';
import { type BodyValidator, bounded, misfit, type Validated } from './body.validator.js';

/** A validator for classes that class-validator decorates; `undefined` for others. */
export function classValidatorFor(
  type: EventClass,
  unknownFields: NonNullable<EventOptions['unknownFields']>,
): BodyValidator | undefined {
  const storage = getMetadataStorage();
  const rules = storage.getTargetValidationMetadatas(type, '', false, false);
  if (rules.length === 0) return undefined;

  const options: ValidatorOptions = {
    whitelist: unknownFields !== 'keep',
    forbidNonWhitelisted: unknownFields === 'reject',
    forbidUnknownValues: true,
    validationError: { target: false, value: false },
  };
  // validateSync passes over asynchronous rules in silence, so one of them (or a nested class, which may hide one) decides.
  const asynchronous = rules.some(
    (rule) =>
      rule.type === 'nestedValidation' ||
      (rule.constraintCls !== undefined &&
        storage.getTargetValidatorConstraints(rule.constraintCls).some((constraint) => constraint.async)),
  );
  const concrete = type as unknown as new () => object;

  return (value) => {
    const own = value instanceof type;
    const problem = own ? undefined : misfit(value);
    if (problem !== undefined) return { problems: [problem] };
    const body = own ? ownCopy(value, unknownFields) : plainToInstance(concrete, value as object);
    const read = (errors: ValidationError[]): Validated =>
      errors.length === 0 ? { body } : { problems: bounded(errors.flatMap((error) => lines(error, ''))) };
    return asynchronous ? validate(body, options).then(read) : read(validateSync(body, options));
  };
}

/** What is taken off must not be taken off the sender's own object. */
function ownCopy(value: object, unknownFields: NonNullable<EventOptions['unknownFields']>): object {
  if (unknownFields !== 'strip') return value;
  return Object.assign(Object.create(Object.getPrototypeOf(value) as object) as object, value);
}

function lines(error: ValidationError, parent: string): string[] {
  const path = parent === '' ? error.property : `${parent}.${error.property}`;
  const own = Object.values(error.constraints ?? {}).map((message) =>
    parent === '' ? message : `${path}: ${message}`,
  );
  return [...own, ...(error.children ?? []).flatMap((child) => lines(child, path))];
}
