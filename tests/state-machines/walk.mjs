// A state machine as a graph, and every way through it.

/** The machine itself and the one inside each Map, with the names of what an item holds. */
export function machines(definition, name = "") {
  const found = [{ name, definition }];
  for (const [state, body] of Object.entries(definition.States)) {
    if (body.Type === "Map") {
      found.push(...machines(body.ItemProcessor, `${name}${state}/`));
      found.find((one) => one.name === `${name}${state}/`).item = Object.keys(body.ItemSelector).map(plain);
    }
  }
  return found;
}

const plain = (key) => key.replace(/\.\$$/, "");

/** Where a state may lead, whatever the data. */
export const successors = (body) => [
  ...(body.Next ? [body.Next] : []),
  ...(body.Choices ?? []).map((choice) => choice.Next),
  ...(body.Default ? [body.Default] : []),
  ...(body.Catch ?? []).map((catcher) => catcher.Next),
];

export const isEnd = (body) => body.End === true || ["Succeed", "Fail"].includes(body.Type);

/** The field of the state's data that a path begins with: `plan` of `$.plan.session`. */
const root = (path) => /^\$\.([A-Za-z]+)/.exec(path)?.[1];

/** What a state reads of its data: the paths in its fields, those inside intrinsic functions too. */
export function reads(body) {
  const found = [];
  const look = (value, key) => {
    if (typeof value === "string") {
      const path = /Path$|^Variable$/.test(key) && key !== "ResultPath";
      if (path || key.endsWith(".$")) found.push(...(value.match(/(?<!\$)\$\.[A-Za-z.]+/g) ?? []));
    } else if (value && typeof value === "object") {
      for (const [inner, one] of Object.entries(value)) {
        if (!["ItemProcessor", "Catch", "Retry"].includes(inner)) look(one, Array.isArray(value) ? key : inner);
      }
    }
  };
  for (const [key, value] of Object.entries(body)) {
    if (!["Choices", "ItemProcessor", "Catch", "Retry", "ResultPath"].includes(key)) look(value, key);
  }
  // What a choice asks the presence of may be absent.
  for (const choice of body.Choices ?? []) if (!("IsPresent" in choice)) found.push(choice.Variable);
  return found;
}

/**
 * Every way from the start to an end on which no state comes more than twice: `[{ states, caught, missing }]`, where
 * `caught` are the states that failed on it, and `missing` paths that were read before anything had written them.
 */
export function ways(definition, given = []) {
  const found = [];
  const go = (name, states, has, missing, caught) => {
    const body = definition.States[name];
    const now = [...states, name];
    const lost = [...missing, ...reads(body).filter((path) => !has.has(root(path))).map((path) => `${name}: ${path}`)];
    if (isEnd(body)) {
      found.push({ states: now, missing: lost, caught });
      return;
    }
    const wrote = new Set(has);
    if (body.ResultPath) wrote.add(root(body.ResultPath));
    const next = (to, data, failed = []) => {
      if (now.filter((one) => one === to).length < 2) go(to, now, data, lost, [...caught, ...failed]);
    };
    if (body.Type === "Choice") {
      let fallsThrough = true;
      for (const choice of body.Choices) {
        const there = has.has(root(choice.Variable));
        if ("IsPresent" in choice && !there) continue;
        next(choice.Next, wrote);
        // A failure is there with or without its cause; anything else is there as a whole.
        if ("IsPresent" in choice && root(choice.Variable) !== "failure") fallsThrough = false;
      }
      if (fallsThrough) next(body.Default, wrote);
    } else {
      next(body.Next, wrote);
    }
    for (const catcher of body.Catch ?? []) next(catcher.Next, new Set([...has, root(catcher.ResultPath)]), [name]);
  };
  go(definition.StartAt, [], new Set(given), [], []);
  return found;
}

/** The states on some circle that never meets one of the type. */
export function circlesWithout(definition, type) {
  const found = [];
  const names = Object.keys(definition.States).filter((name) => definition.States[name].Type !== type);
  for (const start of names) {
    const seen = new Set(), todo = successors(definition.States[start]);
    while (todo.length) {
      const name = todo.pop();
      if (seen.has(name) || !names.includes(name)) continue;
      seen.add(name);
      todo.push(...successors(definition.States[name]));
    }
    if (seen.has(start)) found.push(start);
  }
  return found;
}
