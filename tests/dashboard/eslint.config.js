import js from "@eslint/js";
import globals from "globals";

const rules = {
  eqeqeq: "error",
  "no-implicit-coercion": "error",
  "no-shadow": "error",
  "no-var": "error",
  "object-shorthand": "error",
  "prefer-const": "error",
  "prefer-template": "error",
};

export default [
  {
    ...js.configs.recommended,
    linterOptions: { reportUnusedDisableDirectives: "error" },
  },
  // ESLint ignores files outside of the directory of its configuration: `run` starts it at the top of the repository.
  {
    files: ["src/admin/dashboard/*.js"],
    languageOptions: { sourceType: "module", globals: globals.browser },
    rules: {
      ...rules,
      // The content security policy forbids them; markup from texts would be an injection.
      "no-restricted-properties": [
        "error",
        ...["innerHTML", "outerHTML", "insertAdjacentHTML"].map((property) => ({ property })),
      ],
    },
  },
  { files: ["src/admin/dashboard/theme.js"], languageOptions: { sourceType: "script" } },
  {
    files: ["tests/dashboard/*.js"],
    languageOptions: { sourceType: "module", globals: globals.node },
    rules,
  },
];
