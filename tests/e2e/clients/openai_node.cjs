// OpenAI's SDK for Node, unmodified: node openai_node.cjs BASE_URL AUDIO
// (NODE_PATH names the folder that has the package, NODE_EXTRA_CA_CERTS the certificate to trust.)
// Prints one JSON object: the transcript, the models, and the error for a model that does not exist.
const fs = require("node:fs");
const OpenAI = require("openai");

async function main() {
    const [baseURL, audio] = process.argv.slice(2);
    const client = new OpenAI({ apiKey: "unused", baseURL, maxRetries: 0, timeout: 60000 });
    const file = () => fs.createReadStream(audio);
    const answer = await client.audio.transcriptions.create({ model: "whisper-1", file: file() });
    const models = [];
    for await (const model of client.models.list()) models.push(model.id);
    let refusal = null;
    try {
        await client.audio.transcriptions.create({ model: "no-such-model", file: file() });
    } catch (error) {
        refusal = { name: error.constructor.name, status: error.status, code: error.code };
    }
    console.log(JSON.stringify({ text: answer.text, models, refusal }));
}

main().catch((error) => {
    console.error(`${error.constructor.name}: ${error.message} (${error.cause?.cause?.code ?? error.cause?.code})`);
    process.exit(1);
});
