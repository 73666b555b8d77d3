// Command influxd is the InfluxDB 2.x server without its web interface, built from
// the public Go module of that server. Tests and development run it; production
// runs the vendor's own packages or images of the same version.
package main

import (
	"context"
	"fmt"
	"os"

	"github.com/influxdata/influxdb/v2"
	"github.com/influxdata/influxdb/v2/cmd/influxd/launcher"
	_ "github.com/influxdata/influxdb/v2/tsdb/engine/tsm1" // registers the storage engine
	_ "github.com/influxdata/influxdb/v2/tsdb/index/tsi1"  // registers the series index
	"github.com/spf13/viper"
)

func main() {
	influxdb.SetBuildInfo("2.9.1", "module", "")
	command, err := launcher.NewInfluxdCommand(context.Background(), viper.New())
	if err == nil {
		err = command.Execute()
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
