/*
 * The layout of every 9P message as data, for the tests of the codec and the fuzzer of the engine.
 */
#ifndef TESTS_UNIT_P9_LAYOUTS_H
#define TESTS_UNIT_P9_LAYOUTS_H

#include "hypercalls/p9.h"

/*
 * The layout of every message: 1 2 4 8 are integers of that size, s a string, q a qid, a an attr; N a count[2] of
 * names, which follow as n (string), w (qid) or x (attr); d count[4] and that many bytes.
 */
struct p9_layout {
    uint8_t type;
    char fields[24];
};

static const struct p9_layout p9_layouts[] = {
    { P9_Rlerror, "4" },          { P9_Tstatfs, "4" },       { P9_Rstatfs, "448888884" },
    { P9_Tlopen, "44" },          { P9_Rlopen, "q4" },       { P9_Tlcreate, "4s444" },
    { P9_Rlcreate, "q4" },        { P9_Tsymlink, "4ss4" },   { P9_Rsymlink, "q" },
    { P9_Tmknod, "4s4444" },      { P9_Rmknod, "q" },        { P9_Trename, "44s" },
    { P9_Rrename, "" },           { P9_Treadlink, "4" },     { P9_Rreadlink, "s" },
    { P9_Tgetattr, "48" },        { P9_Rgetattr, "8a88" },   { P9_Tsetattr, "4444488888" },
    { P9_Rsetattr, "" },          { P9_Txattrwalk, "44s" },  { P9_Rxattrwalk, "8" },
    { P9_Txattrcreate, "4s84" },  { P9_Rxattrcreate, "" },   { P9_Treaddir, "484" },
    { P9_Rreaddir, "d" },         { P9_Tfsync, "44" },       { P9_Rfsync, "" },
    { P9_Tlock, "414884s" },      { P9_Rlock, "1" },         { P9_Tgetlock, "41884s" },
    { P9_Rgetlock, "1884s" },     { P9_Tlink, "44s" },       { P9_Rlink, "" },
    { P9_Tmkdir, "4s44" },        { P9_Rmkdir, "q" },        { P9_Trenameat, "4s4s" },
    { P9_Rrenameat, "" },         { P9_Tunlinkat, "4s4" },   { P9_Runlinkat, "" },
    { P9_Tversion, "4s" },        { P9_Rversion, "4s" },     { P9_Tauth, "4ss4" },
    { P9_Rauth, "q" },            { P9_Tattach, "44ss4" },   { P9_Rattach, "q" },
    { P9_Tflush, "2" },           { P9_Rflush, "" },         { P9_Twalk, "44Nn" },
    { P9_Rwalk, "Nw" },           { P9_Tread, "484" },       { P9_Rread, "d" },
    { P9_Twrite, "48d" },         { P9_Rwrite, "4" },        { P9_Tclunk, "4" },
    { P9_Rclunk, "" },            { P9_Tremove, "4" },       { P9_Rremove, "" },
    { P9_Twalkx, "444Nn" },       { P9_Rwalkx, "24a14s" },   { P9_Treaddirx, "484" },
    { P9_Rreaddirx, "d" },        { P9_Tdonate, "41" },      { P9_Rdonate, "48" },
    { P9_Tioctl, "44s" },         { P9_Rioctl, "4s" },       { P9_Tpoll, "44" },
    { P9_Rpoll, "4" },            { P9_Tseek, "484" },       { P9_Rseek, "8" },
    { P9_Tfallocate, "4488" },    { P9_Rfallocate, "" },     { P9_Trename2, "4s4s4" },
    { P9_Rrename2, "" },          { P9_Ttmpfile, "44444" },  { P9_Rtmpfile, "q4" },
    { P9_Tsync, "4" },            { P9_Rsync, "" },          { P9_Tlist, "4844Nn" },
    { P9_Rlist, "d" },
    { P9_Tnsocket, "42224444" },  { P9_Rnsocket, "" },       { P9_Tnconnect, "488422" },
    { P9_Rnconnect, "" },         { P9_Tnlisten, "424" },    { P9_Rnlisten, "88422" },
    { P9_Tnaccept, "444444" },    { P9_Rnaccept, "8842288422" }, { P9_Tncheck, "488422" },
    { P9_Rncheck, "" },           { P9_Tnoob, "411" },       { P9_Rnoob, "1" },
    { P9_Tnsetopt, "444s" },      { P9_Rnsetopt, "" },       { P9_Tngetopt, "4442" },
    { P9_Rngetopt, "s" },         { P9_Tnshutdown, "41" },   { P9_Rnshutdown, "" },
    { P9_Tnname, "4" },           { P9_Rnname, "8842288422" }, { P9_Tnclose, "44" },
    { P9_Rnclose, "" },           { P9_Tnbind, "4884224" },   { P9_Rnbind, "88422" },
};

#define P9_LAYOUT_COUNT (sizeof(p9_layouts) / sizeof(p9_layouts[0]))

#endif
