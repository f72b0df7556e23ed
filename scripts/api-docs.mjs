// Writes docs/api.md from the doc comments of the library: node scripts/api-docs.mjs
// With --check it writes nothing, and fails if the file is not what it would write.
import ts from 'typescript';
import { readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

const root = path.dirname(path.dirname(fileURLToPath(import.meta.url)));
const output = path.join(root, 'docs/api.md');
const modules = [
  ['machined/client', 'src/client/index.ts'],
  ['machined/client/state', 'src/client/state.ts'],
];

const configuration = ts.getParsedCommandLineOfConfigFile(path.join(root, 'tsconfig.types.json'), {}, {
  ...ts.sys,
  onUnRecoverableConfigFileDiagnostic: (diagnostic) => {
    throw new Error(ts.flattenDiagnosticMessageText(diagnostic.messageText, '\n'));
  },
});
const program = ts.createProgram(configuration.fileNames, configuration.options);
const checker = program.getTypeChecker();
const printer = ts.createPrinter({ removeComments: true });

const text = `${[
  '# The library',
  'Made from the comments in src/client by `node scripts/api-docs.mjs`.',
  ...modules.flatMap(([name, file]) => describeModule(name, path.join(root, file))),
].join('\n\n')}\n`;

if (!process.argv.includes('--check')) writeFileSync(output, text);
else if (readFileSync(output, 'utf8') !== text) {
  console.error('docs/api.md is not what the comments say: node scripts/api-docs.mjs');
  process.exit(1);
}

function describeModule(name, file) {
  const source = program.getSourceFile(file);
  const exported = checker.getExportsOfModule(checker.getSymbolAtLocation(source)).map((symbol) => [symbol.name, declarationOf(symbol)]);
  const contract = (declaration) => declaration.getSourceFile().fileName.includes('/src/contract/');
  const constants = exported.filter(([, declaration]) => contract(declaration)).map(([constant]) => `\`${constant}\``);
  return [
    `## ${name}`,
    ...leadingComment(source),
    ...exported.filter(([, declaration]) => !contract(declaration)).flatMap(([symbol, declaration]) => describe(symbol, declaration)),
    ...(constants.length > 0 ? ['### Interfaces', `The declarations that calls are typed by: ${constants.join(', ')}.`] : []),
  ];
}

function declarationOf(symbol) {
  const original = symbol.flags & ts.SymbolFlags.Alias ? checker.getAliasedSymbol(symbol) : symbol;
  return original.declarations[0];
}

/** The comment that a module begins with, if it is a doc comment. */
function leadingComment(source) {
  const [range] = ts.getLeadingCommentRanges(source.text, 0) ?? [];
  const comment = range === undefined ? '' : source.text.slice(range.pos, range.end);
  if (!comment.startsWith('/**')) return [];
  return [comment.replace(/^\/\*\*\s?|\s*\*\/$/g, '').replace(/^\s*\* ?/gm, '').trim()];
}

function describe(name, declaration) {
  const heading = `### ${name}`;
  const documentation = commentOf(declaration);
  if (!ts.isClassDeclaration(declaration)) return [heading, ...documentation, code(signatureOf(declaration))];
  const members = declaration.members.filter(isPublic);
  return [heading, ...documentation, code(headOf(declaration)), ...members.flatMap((member) => [code(signatureOf(member)), ...commentOf(member)])];
}

function isPublic(member) {
  if (member.name !== undefined && (ts.isPrivateIdentifier(member.name) || member.name.getText().startsWith('['))) return false;
  if (member.name?.getText().startsWith('_')) return false;
  if (ts.getCombinedModifierFlags(member) & ts.ModifierFlags.Private) return false;
  return !ts.getJSDocTags(member).some((tag) => tag.tagName.text === 'internal');
}

function headOf(declaration) {
  const heritage = (declaration.heritageClauses ?? []).map((clause) => clause.getText());
  return ['class', declaration.name.text, ...heritage].join(' ');
}

/** The declaration without what it is made of. */
function signatureOf(declaration) {
  if (ts.isVariableDeclaration(declaration)) {
    return `const ${declaration.name.getText()}: ${checker.typeToString(checker.getTypeAtLocation(declaration))}`;
  }
  // with the comments on its members
  if (ts.isInterfaceDeclaration(declaration) || ts.isTypeAliasDeclaration(declaration)) {
    return declaration.getText().replace(/^export /, '').replaceAll(/^( *)readonly /gm, '$1').replaceAll(/ \| undefined(?=;)/g, '');
  }
  const isBodied = ts.isMethodDeclaration(declaration) || ts.isFunctionDeclaration(declaration) || ts.isConstructorDeclaration(declaration)
    || ts.isGetAccessorDeclaration(declaration);
  const printed = printer.printNode(ts.EmitHint.Unspecified, declaration, declaration.getSourceFile());
  const bare = isBodied && declaration.body !== undefined
    ? printed.slice(0, printed.length - printer.printNode(ts.EmitHint.Unspecified, declaration.body, declaration.getSourceFile()).length)
    : printed;
  return bare.replace(/^(export |async |readonly |\*)+/gm, '').trim();
}

function commentOf(declaration) {
  const holder = ts.isVariableDeclaration(declaration) ? declaration.parent.parent : declaration;
  const [comment] = ts.getJSDocCommentsAndTags(holder).filter(ts.isJSDoc);
  const written = comment === undefined ? undefined : ts.getTextOfJSDocComment(comment.comment);
  return written === undefined ? [] : [written];
}

function code(written) {
  return `\`\`\`ts\n${written}\n\`\`\``;
}
