// OpenAI's JavaScript client against the gateway: node openai_client.mjs BASE_URL CASE; prints one JSON object.
import OpenAI from 'openai';

const [, , baseURL, name] = process.argv;
const client = new OpenAI({ baseURL, apiKey: 'unused', maxRetries: 0 });
const messages = [{ role: 'user', content: 'What pressure does the Kestrel pump run at?' }];
const ask = (more) => client.chat.completions.create({ model: 'ragline', messages, ...more });

const failure = async (promise) => {
  try {
    await promise;
    return { raised: null };
  } catch (error) {
    const { status, code, param, type, message } = error;
    return { raised: error.constructor.name, status, code, param, type, message };
  }
};

const cases = {
  async whole() {
    const answer = await ask({});
    return {
      text: answer.choices[0].message.content,
      finish: answer.choices[0].finish_reason,
      total: answer.usage.total_tokens,
      citations: answer.citations,
    };
  },

  async stream() {
    const chunks = [];
    for await (const chunk of await ask({ stream: true, stream_options: { include_usage: true } }))
      chunks.push(chunk);
    return { chunks };
  },

  async helper() {
    const events = [];
    const runner = client.chat.completions
      .stream({ model: 'ragline', messages })
      .on('content', (delta) => events.push(delta));
    return { final: await runner.finalContent(), events };
  },

  async models() {
    const ids = [];
    for await (const model of client.models.list()) ids.push(model.id);
    return { ids, one: (await client.models.retrieve('ragline')).id };
  },

  async abort() {
    const stream = await ask({ stream: true });
    let words = 0;
    for await (const chunk of stream) {
      if (chunk.choices[0]?.delta?.content) {
        words += 1;
        stream.controller.abort();
      }
    }
    return { words };
  },

  unknownModel: () => failure(ask({ model: 'gpt-4o' })),
  several: () => failure(ask({ n: 2 })),
  failing: () => failure(ask({})),

  async failingStream() {
    return failure(
      (async () => {
        for await (const _ of await ask({ stream: true }));
      })()
    );
  },
};

console.log(JSON.stringify(await cases[name]()));
