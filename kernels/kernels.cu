// Every kernel in one program: one image per architecture, and one library for the host tests.
#include "ctc.cu"
#include "db_box.cu"
#include "difference.cu"
#include "mask.cu"
#include "nms.cu"
#include "resize_norm.cu"
#include "warp.cu"
#include "whiten.cu"
