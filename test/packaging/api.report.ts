import { dirname } from 'node:path';
import ts from 'typescript';

/**
 * What an entry promises to its users, as TypeScript: each export by name, then what exports are made of and has no export of its
 * own. Without comments and private members, which promise nothing: a report changes when the API does.
 */
export class ApiReport {
  readonly #program: ts.Program;
  readonly #checker: ts.TypeChecker;
  readonly #printer = ts.createPrinter({ removeComments: true });

  /** @param kernel what is meant where a room imports the package's name */
  constructor(files: readonly string[], kernel: { readonly name: string; readonly file: string }) {
    this.#program = ts.createProgram([...files], {
      module: ts.ModuleKind.NodeNext,
      moduleResolution: ts.ModuleResolutionKind.NodeNext,
      target: ts.ScriptTarget.ES2023,
      types: ['node'],
      strict: true,
      noEmit: true,
      paths: { [kernel.name]: [kernel.file] },
    });
    this.#checker = this.#program.getTypeChecker();
  }

  of(file: string): string {
    const source = this.#program.getSourceFile(file);
    const module = source && this.#checker.getSymbolAtLocation(source);
    if (module === undefined) throw new Error(`${file} exports nothing`);
    const exported = new Map(this.#checker.getExportsOfModule(module).map((symbol) => [this.#target(symbol), symbol]));
    const own = (node: ts.Declaration): boolean => node.getSourceFile().fileName.startsWith(dirname(file));
    const inner = this.#reachedFrom(exported.keys(), own);
    const parts = [
      this.#print(
        [...exported].map(([target, { name }]) => ({ name, target })),
        own,
      ),
    ];
    if (inner.length > 0)
      parts.push('// Part of the above, without an export of its own.', this.#print(inner.map(named), own));
    return `${parts.join('\n\n')}\n`;
  }

  /** What the given symbols are made of, as far as it is of the same room and not among them. */
  #reachedFrom(exported: Iterable<ts.Symbol>, own: Own): ts.Symbol[] {
    const seen = new Set(exported);
    const inner: ts.Symbol[] = [];
    // A set may grow while it is walked: what is found is looked into in its turn.
    for (const symbol of seen)
      for (const declaration of declarationsOf(symbol, own))
        this.#visit(declaration, (found) => {
          if (seen.has(found) || declarationsOf(found, own).length === 0) return;
          seen.add(found);
          inner.push(found);
        });
    return inner;
  }

  #visit(node: ts.Node, found: (symbol: ts.Symbol) => void): void {
    if (isPrivate(node)) return;
    if (ts.isTypeReferenceNode(node)) this.#note(node.typeName, found);
    else if (ts.isExpressionWithTypeArguments(node)) this.#note(node.expression, found);
    else if (ts.isTypeQueryNode(node)) this.#note(node.exprName, found);
    ts.forEachChild(node, (child) => this.#visit(child, found));
  }

  #note(name: ts.Node, found: (symbol: ts.Symbol) => void): void {
    const symbol = this.#checker.getSymbolAtLocation(name);
    if (symbol !== undefined && (symbol.flags & ts.SymbolFlags.TypeParameter) === 0) found(this.#target(symbol));
  }

  #print(symbols: readonly { name: string; target: ts.Symbol }[], own: Own): string {
    return [...symbols]
      .sort((one, other) => (one.name < other.name ? -1 : 1))
      .flatMap(({ name, target }) => {
        const texts = declarationsOf(target, own).map((node) => this.#text(node));
        return texts.length > 0 ? texts : [`export { ${name} };`];
      })
      .join('\n\n');
  }

  #text(declaration: ts.Declaration): string {
    const node = ts.isVariableDeclaration(declaration) ? declaration.parent.parent : declaration;
    const { transformed } = ts.transform(node, [withoutPrivateMembers]);
    return this.#printer.printNode(ts.EmitHint.Unspecified, transformed[0] as ts.Node, declaration.getSourceFile());
  }

  #target(symbol: ts.Symbol): ts.Symbol {
    return (symbol.flags & ts.SymbolFlags.Alias) === 0 ? symbol : this.#checker.getAliasedSymbol(symbol);
  }
}

/** Whether a declaration is of the room that is reported on; what others declare is theirs to report. */
type Own = (node: ts.Declaration) => boolean;

/** Those that stand by themselves: a parameter does not. */
const declarationsOf = (symbol: ts.Symbol, own: Own): ts.Declaration[] =>
  (symbol.declarations ?? []).filter(
    (node) => own(node) && (ts.isSourceFile(node.parent) || ts.isVariableDeclaration(node)),
  );

const named = (target: ts.Symbol): { name: string; target: ts.Symbol } => ({ name: target.name, target });

function isPrivate(node: ts.Node): boolean {
  if (!ts.isClassElement(node)) return false;
  const isHidden = node.name !== undefined && ts.isPrivateIdentifier(node.name);
  return isHidden || (ts.getCombinedModifierFlags(node) & ts.ModifierFlags.Private) !== 0;
}

function withoutPrivateMembers(context: ts.TransformationContext): (node: ts.Node) => ts.Node {
  const visit = (node: ts.Node): ts.Node | undefined =>
    isPrivate(node) ? undefined : ts.visitEachChild(node, visit, context);
  return (node) => visit(node) ?? node;
}
