// A page that was saved: its figures are in it.

import { show } from "./view.js";

document.getElementById("controls").remove();
show(JSON.parse(document.getElementById("figures").textContent));
