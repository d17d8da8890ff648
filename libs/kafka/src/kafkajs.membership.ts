import kafkajs from 'kafkajs';
import { ASSIGNER_NAME, type GroupMember } from './heeding.assigner.js';
import type { TopicPartition } from './kafka.driver.js';

const { AssignerProtocol } = kafkajs;

/** What a member says of itself when it joins, in Kafka's consumer format, so that Kafka's own tools can show it. */
export function encodeSubscription(
  topics: readonly string[],
  owned: readonly TopicPartition[],
  generation: number,
): Buffer {
  const held: Record<string, number[]> = {};
  for (const { topic, partition } of owned) (held[topic] ??= []).push(partition);
  const userData = Buffer.from(JSON.stringify({ generation, held }));
  return AssignerProtocol.MemberMetadata.encode({ version: 0, topics: [...topics], userData });
}

/** Hostile: another member may be another program. What cannot be read counts as holding nothing. */
export function decodeSubscription(id: string, bytes: Buffer): GroupMember {
  try {
    const { topics, userData } = AssignerProtocol.MemberMetadata.decode(bytes) as {
      topics: string[];
      userData: Buffer;
    };
    return { id, topics: topics.filter((topic) => typeof topic === 'string'), ...decodeHeld(userData) };
  } catch {
    return { id, topics: [], owned: [], generation: -1 };
  }
}

function decodeHeld(userData: Buffer): Pick<GroupMember, 'owned' | 'generation'> {
  try {
    const { generation, held } = JSON.parse(userData.toString('utf8')) as { generation: unknown; held: unknown };
    const owned: TopicPartition[] = [];
    for (const [topic, partitions] of Object.entries(held as Record<string, unknown>)) {
      if (!Array.isArray(partitions)) continue;
      for (const partition of partitions) {
        if (Number.isInteger(partition)) owned.push({ topic, partition: Number(partition) });
      }
    }
    return { owned, generation: Number.isInteger(generation) ? Number(generation) : -1 };
  } catch {
    return { owned: [], generation: -1 };
  }
}

export function encodeAssignment(sources: readonly TopicPartition[]): Buffer {
  const assignment: Record<string, number[]> = {};
  for (const { topic, partition } of sources) (assignment[topic] ??= []).push(partition);
  return AssignerProtocol.MemberAssignment.encode({ version: 0, assignment, userData: Buffer.alloc(0) });
}

export function decodeAssignment(bytes: Buffer | null): TopicPartition[] {
  if (bytes === null || bytes.length === 0) return [];
  const decoded = AssignerProtocol.MemberAssignment.decode(bytes);
  const assignment: Readonly<Record<string, number[]>> = decoded?.assignment ?? {};
  return Object.entries(assignment).flatMap(([topic, partitions]) =>
    partitions.map((partition) => ({ topic, partition })),
  );
}

export const PROTOCOL_TYPE = 'consumer';
export { ASSIGNER_NAME };
