import { NO_TAGS, compactText } from './kafkajs.compact.js';
import { throwOnCode } from './kafkajs.codes.js';

/** Who may write under a transactional id; the epoch tells its owners, one after the other, from each other. */
export interface ProducerIdentity {
  readonly producerId: string;
  readonly producerEpoch: number;
}

/**
 * The body of an InitProducerId request, version 3, which kafkajs does not have: the first that asks for the next epoch only if the present
 * one is still ours. An older one takes the id from whoever has it.
 */
export function encodeRenewal(transactionalId: string, timeout: number, present: ProducerIdentity): Buffer {
  const numbers = Buffer.alloc(14);
  let at = numbers.writeInt32BE(timeout, 0);
  at = numbers.writeBigInt64BE(BigInt(present.producerId), at);
  numbers.writeInt16BE(present.producerEpoch, at);
  return Buffer.concat([NO_TAGS, compactText(transactionalId), numbers, NO_TAGS]);
}

/** Throws a `DriverError` where another has the id by now. */
export async function decodeRenewal(answer: Buffer, transactionalId: string): Promise<ProducerIdentity> {
  // After the header's tags, of which there are none, and the throttle time.
  throwOnCode(answer.readInt16BE(5), `renewing the transactional id ${transactionalId}`);
  const identity = { producerId: String(answer.readBigInt64BE(7)), producerEpoch: answer.readInt16BE(15) };
  return Promise.resolve(identity);
}
