// How an entry fails whose client library is not installed: `absent-client.cjs nestjs-eventing/kafka require`, or `import`.
const [, , specifier, how] = process.argv;

const load = async () => (how === 'require' ? require(specifier) : import(specifier));
void load().then(
  () => console.log(JSON.stringify('loaded')),
  (error) => console.log(JSON.stringify(`${error.code}: ${error.message}`)),
);
