<?php echo PHP_MAJOR_VERSION, "\n"; print_r(array_map(fn($x)=>$x*$x, range(1,5)));
$p = proc_open("tr a-z A-Z; exit 4", [["pipe","r"],["pipe","w"]], $pipes); fwrite($pipes[0], "hello"); fclose($pipes[0]); echo stream_get_contents($pipes[1]),"\n"; echo proc_close($p),"\n";
file_put_contents("/tmp/x", str_repeat("ab", 1000)); echo md5_file("/tmp/x"),"\n"; echo json_encode(["a"=>1]),"\n"; usleep(1000); echo date("Y", 0),"\n";
