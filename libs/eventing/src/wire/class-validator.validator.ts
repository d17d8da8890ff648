import { plainToInstance } from 'class-transformer';
import { getMetadataStorage, validate, validateSync, type ValidationError, type ValidatorOptions } from 'class-validator';
import type { EventOptions } from '../declare/event.decorator.js';
import type { EventClass } from '../declare/metadata.js';
import { type BodyValidator, bounded, describe, type Validated } from './body.validator.js';

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
    if (typeof value !== 'object' || value === null || Array.isArray(value))
      return { problems: [`it is ${describe(value)}, not an object`] };
    const body = value instanceof type ? value : plainToInstance(concrete, value);
    const read = (errors: ValidationError[]): Validated =>
      errors.length === 0 ? { body } : { problems: bounded(errors.flatMap((error) => lines(error, ''))) };
    return asynchronous ? validate(body, options).then(read) : read(validateSync(body, options));
  };
}

function lines(error: ValidationError, parent: string): string[] {
  const path = parent === '' ? error.property : `${parent}.${error.property}`;
  const own = Object.values(error.constraints ?? {}).map((message) =>
    parent === '' ? message : `${path}: ${message}`,
  );
  return [...own, ...(error.children ?? []).flatMap((child) => lines(child, path))];
}
