// Says what is wrong with objects of custom resources: a list on standard input, as JSON, and for each
// the list of its faults on standard output.
//
// The published models of these resources are types and validators. The types know every field, so
// the compiler refuses one that does not exist or is missing; the validators look at the values.

import { readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import ts from "typescript";

const HERE = dirname(fileURLToPath(import.meta.url));
const MODELS = {
  "gateway.networking.k8s.io/v1": "@kubernetes-models/gateway-api/gateway.networking.k8s.io/v1",
  "monitoring.coreos.com/v1": "@kubernetes-models/prometheus-operator/monitoring.coreos.com/v1",
  "keda.sh/v1alpha1": "@kubernetes-models/keda/keda.sh/v1alpha1",
};
const OPTIONS = {
  strict: true,
  noEmit: true,
  skipLibCheck: true,
  types: [],
  target: ts.ScriptTarget.ES2022,
  module: ts.ModuleKind.ESNext,
  moduleResolution: ts.ModuleResolutionKind.Bundler,
};

const objects = JSON.parse(readFileSync(0, "utf8"));
const faults = objects.map(() => []);
const known = [];

// One source file for each object: an object literal of its type, where fields too many are errors.
const sources = new Map();
objects.forEach((object, index) => {
  const models = MODELS[object.apiVersion];
  if (models === undefined) {
    faults[index].push(`no schema for ${object.apiVersion} ${object.kind}`);
    return;
  }
  known.push(index);
  const text = `import type { I${object.kind} as T } from "${models}";\nexport const o: T = ${JSON.stringify(object)};\n`;
  sources.set(join(HERE, `object${index}.ts`), { index, text });
});

const host = ts.createCompilerHost(OPTIONS);
const { fileExists, readFile, getSourceFile } = host;
host.fileExists = (name) => sources.has(name) || fileExists(name);
host.readFile = (name) => sources.get(name)?.text ?? readFile(name);
host.getSourceFile = (name, version, ...rest) =>
  sources.has(name)
    ? ts.createSourceFile(name, sources.get(name).text, version)
    : getSourceFile(name, version, ...rest);
const program = ts.createProgram([...sources.keys()], OPTIONS, host);
for (const fault of ts.getPreEmitDiagnostics(program)) {
  const text = ts.flattenDiagnosticMessageText(fault.messageText, " ");
  const source = sources.get(fault.file?.fileName);
  if (source === undefined) throw new Error(text); // the models themselves do not compile
  faults[source.index].push(text);
}

for (const index of known) {
  const object = objects[index];
  const { [object.kind]: Model } = await import(MODELS[object.apiVersion]);
  if (Model === undefined) continue; // the compiler said so already
  try {
    new Model(object).validate();
  } catch (error) {
    faults[index].push(error.message);
  }
}
process.stdout.write(JSON.stringify(faults));
