/** A test asked to kill, stop or restart a broker which somebody else started. */
export class NotOwnedError extends Error {
  override readonly name = 'NotOwnedError';
  /** @param start the function that gives a broker which may be killed */
  constructor(action: string, variable: string, start: string) {
    super(
      `Cannot ${action} a broker given by ${variable}: it is not ours. ` +
        `Use ${start}(), which always starts a broker of its own, or unset ${variable}.`,
    );
  }
}

/** `REQUIRE_BROKERS` names a part which this machine cannot provide. */
export class BrokerRequiredError extends Error {
  override readonly name = 'BrokerRequiredError';
  constructor(part: string, reason: string) {
    super(`REQUIRE_BROKERS asks for ${part}, which could not be had: ${reason}`);
  }
}

/** A broker process ended, or did not answer, while it was being started. */
export class BrokerStartError extends Error {
  override readonly name = 'BrokerStartError';
  constructor(
    broker: string,
    readonly why: string,
    logTail: string,
  ) {
    super(`${broker} did not start: ${why}\n--- end of its log ---\n${logTail || '(the log is empty)'}`);
  }
}

/** A broker is not installed on this machine, or its jars could not be resolved. */
export class InstallationError extends Error {
  override readonly name = 'InstallationError';
}
