/** A command could not be carried out, for a reason that its user may expect; the message goes to standard error. */
export class CommandFailure extends Error {
  override readonly name = 'CommandFailure';
}

/** What was asked for has been done while the command line was read (--help, --version): nothing else is to be done. */
export class Finished extends Error {
  override readonly name = 'Finished';
}
