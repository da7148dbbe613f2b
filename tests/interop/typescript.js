// Signs with one profile as the service's TypeScript SDK does, stores an object in parts and reads it back.
//
//   node typescript.js CONFIG PROFILE URL FILE NAME [defaults]
//
// With `defaults` the parts have the SDK's own size, and the object is left there.
// A profile with a session token uses the SDK's provider for sessions, any other the one for keys. Where
// OCI_CLI_AUTH names a principal, it signs in place of the profile, at the addresses of the other variables.

const fs = require("fs");
const { Readable } = require("stream");
const common = require("oci-common");
const storage = require("oci-objectstorage");

async function signIn(config, profile) {
    const variable = (name) => process.env[name];
    switch (variable("OCI_CLI_AUTH")) {
    case "instance_principal": {
        const builder = new common.InstancePrincipalsAuthenticationDetailsProviderBuilder();
        builder.metadataBaseUrl = variable("OCI_METADATA_BASE_URL");
        builder.federationEndpoint = variable("OCI_SDK_AUTH_CLIENT_REGION_URL");
        return await builder.build();
    }
    case "resource_principal":
        return common.ResourcePrincipalAuthenticationDetailsProvider.builder();
    case "oke_workload_identity":
        return common.OkeWorkloadIdentityAuthenticationDetailsProvider.builder(
            variable("OCI_KUBERNETES_SERVICE_ACCOUNT_CERT_PATH"),
            variable("OCI_KUBERNETES_SERVICE_ACCOUNT_TOKEN_PATH"));
    }
    return profile === "SESSION"
        ? new common.SessionAuthDetailProvider(config, profile)
        : new common.ConfigFileAuthenticationDetailsProvider(config, profile);
}

async function main([config, profile, url, file, name, defaults]) {
    const provider = await signIn(config, profile);
    const client = new storage.ObjectStorageClient({ authenticationDetailsProvider: provider });
    client.endpoint = url;
    const namespaceName = (await client.getNamespace({})).value;
    const at = { namespaceName, bucketName: "demo" };
    const options = defaults ? {} : { partSize: 10 * 1024 * 1024 };
    const manager = new storage.UploadManager(client, options);
    const content = { filePath: file };
    const put = await manager.upload({ content, requestDetails: { ...at, objectName: name } });
    const got = await client.getObject({ ...at, objectName: name });
    const chunks = [];
    for await (const chunk of Readable.fromWeb(got.value)) chunks.push(chunk);
    if (!Buffer.concat(chunks).equals(fs.readFileSync(file))) throw new Error("the object differs");
    const listed = await client.listMultipartUploads(at);
    if (listed.items.length !== 0) throw new Error("an upload is left open");
    if (!defaults) await client.deleteObject({ ...at, objectName: name });
    console.log(JSON.stringify(put));
}

main(process.argv.slice(2)).catch((error) => {
    console.error(error);
    process.exit(1);
});
