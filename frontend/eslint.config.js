import vue from 'eslint-plugin-vue'
import accessibility from 'eslint-plugin-vuejs-accessibility'
import ts from 'typescript-eslint'

// Imports only go down this list.
const layers = [
  'protocol',
  'realtime',
  'api',
  'stores',
  'composables',
  'components',
  'views',
  'router',
]
const siblings = { realtime: ['api'], api: ['realtime'] }

const mayNotImport = (layer) => {
  const above = layers.slice(layers.indexOf(layer) + 1)
  const forbidden = [...above, ...(siblings[layer] ?? [])].filter(
    (other, index, all) => all.indexOf(other) === index,
  )
  // Deep relative paths would go round the rule.
  return [
    {
      group: forbidden.flatMap((other) => [`@/${other}`, `@/${other}/*`, `**/${other}/*`]),
      message: `${layer} may import only what is below it.`,
    },
    ...(layer === 'protocol' || layer === 'realtime'
      ? [
          {
            group: ['vue', 'pinia', 'vue-router', 'vue-i18n', '@vue/*'],
            message: `${layer} is plain TypeScript.`,
          },
        ]
      : []),
  ].filter(({ group }) => group.length > 0)
}

export default ts.config(
  { ignores: ['node_modules', 'playwright-report', 'test-results', 'coverage', 'dist'] },
  ...ts.configs.strictTypeChecked,
  ...vue.configs['flat/recommended'],
  ...accessibility.configs['flat/recommended'],
  {
    languageOptions: {
      parserOptions: {
        projectService: { allowDefaultProject: ['eslint.config.js'] },
        parser: ts.parser,
        extraFileExtensions: ['.vue'],
        tsconfigRootDir: import.meta.dirname,
      },
    },
    rules: {
      '@typescript-eslint/restrict-template-expressions': ['error', { allowNumber: true }],
      '@typescript-eslint/no-unused-vars': [
        'error',
        { varsIgnorePattern: '^_', argsIgnorePattern: '^_' },
      ],
      '@typescript-eslint/no-confusing-void-expression': ['error', { ignoreArrowShorthand: true }],
      // The types say what may be left out.
      'vue/require-default-prop': 'off',
      // Sees no difference between a prop and its destructured default.
      '@typescript-eslint/no-useless-default-assignment': 'off',
      'vue/multi-word-component-names': 'off',
      'vue/html-self-closing': 'off',
      'vue/max-attributes-per-line': 'off',
      'vue/singleline-html-element-content-newline': 'off',
      'vue/html-indent': 'off',
      'vue/html-closing-bracket-newline': 'off',
      'vue/multiline-html-element-content-newline': 'off',
      'vuejs-accessibility/label-has-for': ['error', { required: { some: ['nesting', 'id'] } }],
      'no-console': 'error',
      'max-lines': ['error', { max: 400, skipBlankLines: false }],
    },
  },
  ...layers.map((layer) => ({
    files: [`src/${layer}/**`],
    ignores: ['**/__tests__/**'],
    rules: { 'no-restricted-imports': ['error', { patterns: mayNotImport(layer) }] },
  })),
  { files: ['e2e/**'], rules: { '@typescript-eslint/no-non-null-assertion': 'off' } },
  { files: ['**/*.js'], ...ts.configs.disableTypeChecked },
)
