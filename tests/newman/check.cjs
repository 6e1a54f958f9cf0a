// Says what in a Postman collection is not as its published schema wants it: check.cjs COLLECTION
const { readFileSync } = require("node:fs");
const { PostmanValidator } = require("@har-sdk/validator");

const collection = JSON.parse(readFileSync(process.argv[2], "utf-8"));
new PostmanValidator().verify(collection).then((errors) => {
    for (const error of errors) {
        console.log(error.instancePath, error.message);
    }
    process.exitCode = errors.length ? 1 : 0;
});
