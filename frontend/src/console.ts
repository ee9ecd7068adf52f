// Every page of the console: requests, keyboard and small behaviours.

import { setUpActs } from "./lib/acts";
import { setUpChrome } from "./lib/chrome";
import { setUpDialogs } from "./lib/dialogs";
import { setUpKeptFiles } from "./lib/kept_files";
import { setUpLists } from "./lib/lists";
import { setUpProofs } from "./lib/proofs";
import { setUpRegions } from "./lib/regions";
import { setUpRequests } from "./lib/requests";
import { setUpScrolling } from "./lib/scrolling";
import { setUpSelection } from "./lib/selection";
import { setUpShortcuts } from "./lib/shortcuts";
import { setUpTimes } from "./lib/times";
import { setUpToasts } from "./lib/toasts";

setUpRequests();
setUpChrome();
setUpActs();
setUpDialogs();
setUpShortcuts();
setUpLists();
setUpKeptFiles();
setUpScrolling();
setUpSelection();
setUpTimes();
setUpProofs();
setUpRegions();
setUpToasts();
