local again = require("lib.circle")
return again
