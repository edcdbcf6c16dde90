# For tools that only know node-gyp: one action that runs the real build (CMakeLists.txt through cmake-js).
{
  "targets": [
    {
      "target_name": "foretoken",
      "type": "none",
      "actions": [
        {
          "action_name": "build",
          "inputs": ["CMakeLists.txt"],
          "outputs": ["<(PRODUCT_DIR)/foretoken.node"],
          "action": ["node", "scripts/build.js"]
        }
      ]
    }
  ]
}
