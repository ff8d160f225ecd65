// A module of its own, because a Node.js that is too old cannot parse `import()`.
module.exports = () => import('../dist/cli.js');
